/* The OpenAPI 3.1 document, made from the table of routes and the schemas below. */
#include <stdio.h>
#include <string.h>

#include "server/event.h"
#include "web/document.h"
#include "web/probes.h"
#include "web/problem.h"
#include "web/v1/device_problem.h"
#include "web/v1/message_json.h"
#include "web/web.h"

/* What an order and a fault that was ordered have both. */
#define FAULT_MEMBERS                                                                                                \
    "  'drop':{'const':true},'delay':{'$ref':'#/components/schemas/DurationOrSeconds'},"                             \
    "  'duplicate':{'type':'integer','minimum':1,'maximum':16,'description':'So many copies more.'},"                \
    "  'corrupt':{'oneOf':[{'const':true},{'type':'integer','minimum':0,'maximum':65535}],'description':'Any byte, " \
    "or "                                                                                                            \
    "the one at this place.'},"                                                                                      \
    "  'truncate':{'type':'integer','minimum':0,'maximum':65535,'description':'To so many bytes.'},"                 \
    "  'reorder':{'const':true},'wrong':{'enum':['token','mid']},"                                                   \
    "  'option':{'type':'integer','minimum':1,'maximum':65535,'description':'An empty option of this number.'},"     \
    "  'reset':{'const':true},'answer':{'type':'string','pattern':'^[245][.][0-3][0-9]$'},"                          \
    "  'max_age':{'type':'integer','minimum':0},'silence':{'const':true},"                                           \
    "  'forget':{'enum':['dtls-session','cid','registration','observations']},"                                      \
    "  'alert':{'oneOf':[{'const':true},{'type':'integer','minimum':0,'maximum':255}]},"                             \
    "  'expire':{'const':true},'close':{'enum':['fin','rst','close-notify']},'half_open':{'const':true},"            \
    "  'refuse':{'enum':['resumption','handshake']},'fill':{'const':'queue'},'time_offset_s':{'type':'integer'},"    \
    "  'on':{'enum':['any','con','non','ack','rst','request','response','ping','register','update','deregister',"    \
    "    'bootstrap','send','notify','read','write','execute','create','delete','discover','observe','continue',"    \
    "    'handshake','record']},"                                                                                    \
    "  'direction':{'enum':['in','out']},"                                                                           \
    "  'times':{'type':['integer','null'],'minimum':1,'maximum':1000000,'description':'null: without end'},"         \
    "  'after':{'type':'integer','minimum':0,'maximum':1000000},"                                                    \
    "  'probability':{'type':'number','exclusiveMinimum':0,'maximum':1},'seed':{'type':'integer','minimum':0},"      \
    "  'duration':{'$ref':'#/components/schemas/DurationOrSeconds'}"

/* JSON, in which ' stands for ". EventType and MessageKind are made from what there is. */
static const char schemas[] =
    "{"
    "'Any':{'type':'object'},"
    "'Status':{'type':'object','required':['status'],'properties':{'status':{'const':'ok'}}},"
    "'Time':{'type':'string','format':'date-time','description':'RFC 3339, UTC, with milliseconds.'},"
    "'Duration':{'type':'string','pattern':'^[0-9]{1,12}([.][0-9]{1,3})?(ms|s|m|h|d)?$','examples':['30s','500ms'],"
    "  'description':'A number and a unit; seconds when there is none.'},"
    "'DurationOrSeconds':{'oneOf':[{'$ref':'#/components/schemas/Duration'},{'type':'number','minimum':0}]},"
    "'Problem':{'type':'object','description':'RFC 9457','required':['type','title','status','detail'],'properties':{"
    "  'type':{'type':'string','format':'uri'},'title':{'type':'string'},'status':{'type':'integer'},"
    "  'detail':{'type':'string'}}},"
    "'Object':{'type':'object','required':['path','attributes','version'],'properties':{"
    "  'path':{'type':'string','examples':['/3/0']},"
    "  'version':{'type':['string','null'],'description':'Announced, or implied by the version of LwM2M.'},"
    "  'attributes':{'type':'object','additionalProperties':{'type':['string','boolean']}}}},"
    "'Device':{'type':'object',"
    "  "
    "'required':['endpoint','id','state','address','transport','framing','reachable','security','registered_at','"
    "updated_at','expires_at',"
    "    'lifetime_s','version','binding','queue_mode','awake','objects',"
    "    'content_formats','location','root_path','sms','parameters'],"
    "  'properties':{"
    "    'endpoint':{'type':'string'},"
    "    'id':{'type':'string','pattern':'^[0-9a-f]{32}$'},"
    "    'state':{'const':'registered'},"
    "    'address':{'type':'string','examples':['192.0.2.1:5683']},"
    "    'transport':{'enum':['udp','dtls','tcp','tls']},"
    "    'framing':{'enum':['datagram','rfc8323','pelion',null],'description':'How its messages lie in what it sends; "
    "null: its connection is of an earlier run.'},"
    "    'reachable':{'type':'boolean','description':'false: its connection has ended, and it has not come back.'},"
    "    'security':{'type':'object','required':['mode','identity'],'properties':{"
    "      'mode':{'enum':['none','psk','x509','oscore']},'identity':{'type':['string','null']},"
    "      'cipher_suite':{'type':'string','description':'IANA name. It and what follows are there while there is a "
    "session.'},"
    "      'tls_version':{'type':'string','description':'Of TLS connections: TLS 1.2 or TLS 1.3.'},"
    "      'cid':{'type':['string','null'],'description':'By which we know the device; hexadecimal.'},"
    "      'cid_draft':{'type':'boolean'},'resumed':{'type':'boolean'},"
    "      'id_context':{'type':['string','null'],'description':'OSCORE, in hexadecimal.'}}},"
    "    'registered_at':{'$ref':'#/components/schemas/Time'},"
    "    'updated_at':{'$ref':'#/components/schemas/Time'},"
    "    'expires_at':{'oneOf':[{'$ref':'#/components/schemas/Time'},{'type':'null'}],'description':'null: never'},"
    "    'lifetime_s':{'type':'integer','minimum':0,'description':'0: for ever'},"
    "    'lifetime':{'const':'infinite','description':'Only there when it is.'},"
    "    'version':{'enum':['1.0','1.1','1.2']},"
    "    'binding':{'type':'string','pattern':'^[UMHTSN]*$'},"
    "    'queue_mode':{'type':'boolean'},"
    "    'awake':{'type':'boolean'},"
    "    'objects':{'type':'array','items':{'$ref':'#/components/schemas/Object'}},"
    "    'content_formats':{'type':'array','items':{'type':'integer'},'description':'CoAP numbers, as announced.'},"
    "    'location':{'type':'string','pattern':'^/rd/'},"
    "    'root_path':{'type':'string'},"
    "    'sms':{'type':['string','null']},"
    "    'parameters':{'type':'object','description':'Registration parameters without a field here.',"
    "      'additionalProperties':{'type':['string','boolean']}}}},"
    "'TrafficCount':{'type':'object','required':['bytes_in','bytes_out'],'properties':{"
    "  'bytes_in':{'type':'integer','minimum':0},'bytes_out':{'type':'integer','minimum':0},"
    "  'datagrams_in':{'type':'integer','minimum':0},'datagrams_out':{'type':'integer','minimum':0}}},"
    "'TrafficKind':{'type':'object','required':['count','bytes_in','bytes_out'],'properties':{"
    "  'count':{'type':'integer','minimum':0},"
    "  'bytes_in':{'type':'integer','minimum':0},'bytes_out':{'type':'integer','minimum':0}}},"
    "'TrafficKinds':{'type':'object','required':['handshake','resumption','registration','update','other'],"
    "  'properties':{"
    "    'handshake':{'$ref':'#/components/schemas/TrafficKind'},"
    "    'resumption':{'$ref':'#/components/schemas/TrafficKind'},"
    "    'registration':{'$ref':'#/components/schemas/TrafficKind'},"
    "    'update':{'$ref':'#/components/schemas/TrafficKind'},"
    "    'other':{'$ref':'#/components/schemas/TrafficKind'}}},"
    "'Traffic':{'type':'object','required':['endpoint','transport','total','over','session'],'properties':{"
    "  'endpoint':{'type':'string'},'transport':{'enum':['udp','dtls','tcp','tls']},"
    "  'total':{'$ref':'#/components/schemas/TrafficCount'},"
    "  'over':{'type':'object','properties':{"
    "    'udp':{'$ref':'#/components/schemas/TrafficKinds'},"
    "    'dtls':{'$ref':'#/components/schemas/TrafficKinds'},"
    "    'dtls_cid':{'$ref':'#/components/schemas/TrafficKinds'},"
    "    'tcp':{'$ref':'#/components/schemas/TrafficKinds'},"
    "    'tls':{'$ref':'#/components/schemas/TrafficKinds'}}},"
    "  'session':{'oneOf':[{'type':'null'},{'type':'object','required':['handshake','records','messages','overhead'],"
    "    'properties':{"
    "      'handshake':{'$ref':'#/components/schemas/TrafficCount'},"
    "      'records':{'$ref':'#/components/schemas/TrafficCount'},"
    "      'messages':{'$ref':'#/components/schemas/TrafficCount'},"
    "      'overhead':{'$ref':'#/components/schemas/TrafficCount'}}}]}}},"
    "'DeviceOrGone':{'oneOf':[{'$ref':'#/components/schemas/Device'},{'type':'object','required':['endpoint','state'],"
    "  'properties':{'endpoint':{'type':'string'},'state':{'const':'deregistered'}}}]},"
    "'DevicePage':{'type':'object','required':['items','next'],'properties':{"
    "  'items':{'type':'array','items':{'$ref':'#/components/schemas/Device'}},'next':{'type':['string','null']}}},"
    "'Role':{'enum':['everything','management','bootstrap']},"
    "'Server':{'type':'object','required':['version','role','started_at','listeners','http','cipher_suites','draft_cid'"
    ","
    "    'trace'],'properties':{"
    "  'version':{'type':'string'},'role':{'$ref':'#/components/schemas/Role'},"
    "  'started_at':{'$ref':'#/components/schemas/Time'},"
    "  'listeners':{'type':'array','items':{'type':'object','required':['uri','transport','role'],'properties':{"
    "    'uri':{'type':'string','examples':['coaps://0.0.0.0:5684']},'transport':{'enum':['udp','dtls','tcp','tls']},"
    "    'role':{'$ref':'#/components/schemas/Role'}}}},"
    "  'http':{'type':'array','items':{'type':'object','required':['uri','role'],'properties':{"
    "    'uri':{'type':'string'},'role':{'$ref':'#/components/schemas/Role'}}}},"
    "  'cipher_suites':{'type':'array','items':{'type':'string'},'description':'The one that is preferred first.'},"
    "  'draft_cid':{'type':'boolean','description':'Whether the connection ID of the draft is spoken.'},"
    "  'trace':{'type':'boolean','description':'Whether messages are kept.'}}},"
    "'Nodes':{'type':'object','required':['items'],'properties':{'items':{'type':'array','items':{'type':'object',"
    "  'required':['number','state','self','api','version','started_at','alive_at'],'properties':{"
    "  'number':{'type':'integer','minimum':0,'maximum':255,'description':'The first byte of its connection IDs.'},"
    "  'state':{'enum':['serves','stands_by','gone']},"
    "  'self':{'type':'boolean','description':'The one that answers.'},"
    "  'api':{'type':'string','description':'Empty when it has none.'},'version':{'type':'string'},"
    "  'started_at':{'$ref':'#/components/schemas/Time'},'alive_at':{'$ref':'#/components/schemas/Time'}}}}}},"
    "'Counts':{'type':'object','required':['step_s','now','devices','items'],'properties':{"
    "  'step_s':{'type':'integer'},'now':{'$ref':'#/components/schemas/Time'},'devices':{'type':'integer'},"
    "  'items':{'type':'array','items':{'type':'object',"
    "    'required':['at','devices','registrations','updates','failures'],'properties':{"
    "    'at':{'$ref':'#/components/schemas/Time'},'devices':{'type':'integer','description':'At the end of the "
    "step.'},"
    "    'registrations':{'type':'integer'},'updates':{'type':'integer'},"
    "    'failures':{'type':'integer','description':'rejected, dtls_failed, bootstrap_failed'}}}}}},"
    "'Event':{'type':'object','required':['id','ts','type','endpoint'],'properties':{"
    "  'id':{'type':'integer','minimum':1},"
    "  'ts':{'$ref':'#/components/schemas/Time'},"
    "  'type':{'$ref':'#/components/schemas/EventType'},"
    "  'endpoint':{'type':['string','null']},"
    "  'location':{'type':'string'},"
    "  'previous':{'type':'string','description':'The location or address before.'},"
    "  'lifetime_s':{'type':'integer','minimum':0},"
    "  'address':{'type':'string'},"
    "  'detail':{'type':'string'},"
    "  'coap_code':{'type':'string','pattern':'^[0-7][.][0-9]{2}$'},"
    "  'security':{'enum':['none','psk','x509','oscore']},'identity':{'type':'string'},"
    "  'cipher_suite':{'type':'string'},'tls_version':{'type':'string'},"
    "  'cid':{'type':'string'},'cid_draft':{'type':'boolean'},"
    "  'reason':{'type':'string'},'alert_sent':{'type':'integer'},'alert_received':{'type':'integer'},"
    "  'bytes_in':{'type':'integer'},'bytes_out':{'type':'integer'},"
    "  'operation':{'enum':['discover','delete','read','write','finish','pack']},"
    "  'procedure':{'enum':['standard','pelion','pack']},'format':{'type':'string'},'query':{'type':'string'},"
    "  'diagnostic':{'type':'string'},'rtt_ms':{'type':'integer'},"
    "  'fault':{'type':'integer'},'action':{'type':'string'},'message':{'type':'string'},"
    "  'direction':{'enum':['in','out']},"
    "  'path':{'type':'string'},'value':{},'value_type':{'type':'string'},"
    "  'time':{'$ref':'#/components/schemas/Time'},"
    "  'observation':{'type':'integer','minimum':1},"
    "  'sequence':{'type':'integer','minimum':0,'description':'Value of the Observe option.'},"
    "  'confirmable':{'type':'boolean'},"
    "  'stale':{'const':true,'description':'Something newer was told before it.'},"
    "  'request':{'type':'integer','minimum':1},"
    "  'state':{'enum':['completed','failed','expired','cancelled']},"
    "  'status':{'type':'integer'}}},"
    "'Queued':{'type':'object','required':['id','state'],'properties':{"
    "  'id':{'type':'integer','minimum':1},'state':{'const':'queued'}}},"
    "'QueuedRequest':{'type':'object',"
    "  'required':['id','endpoint','method','path','state','attempts','created_at','expires_at','completed_at'],"
    "  'properties':{"
    "    'id':{'type':'integer','minimum':1},"
    "    'endpoint':{'type':'string'},"
    "    'method':{'type':['string','null']},"
    "    'path':{'type':['string','null'],'description':'With the query, as it was asked.'},"
    "    'state':{'enum':['queued','running','completed','failed','expired','cancelled']},"
    "    'attempts':{'type':'integer','minimum':0},"
    "    'created_at':{'$ref':'#/components/schemas/Time'},"
    "    'expires_at':{'$ref':'#/components/schemas/Time'},"
    "    'completed_at':{'oneOf':[{'$ref':'#/components/schemas/Time'},{'type':'null'}]},"
    "    'response':{'type':'object','required':['status','headers','content_type'],"
    "      'description':'Only there when the request is over.','properties':{"
    "        'status':{'type':'integer'},"
    "        'headers':{'type':'object','additionalProperties':{'type':'string'}},"
    "        'content_type':{'type':['string','null']},"
    "        'body':{'description':'JSON as it is, text as a string.'},"
    "        'body_b64':{'type':'string','description':'Any other body.'}}}}},"
    "'Queue':{'type':'object','required':['endpoint','awake','awake_window_s','limit','items'],'properties':{"
    "  'endpoint':{'type':'string'},"
    "  'awake':{'type':'boolean','description':'Without queue mode always; false when it is not registered.'},"
    "  'awake_window_s':{'type':'number'},"
    "  'limit':{'type':'integer','minimum':1},"
    "  'items':{'type':'array','items':{'$ref':'#/components/schemas/QueuedRequest'}}}},"
    "'QueueSettings':{'type':'object','additionalProperties':false,'description':'null, or nothing: as the server has "
    "it.',"
    "  'properties':{"
    "    'awake_window':{'oneOf':[{'$ref':'#/components/schemas/DurationOrSeconds'},{'type':'null'}]},"
    "    'limit':{'type':['integer','null'],'minimum':1,'maximum':10000}}},"
    "'Pong':{'type':'object','required':['rtt_ms','retransmissions'],'properties':{"
    "  'rtt_ms':{'type':'integer','minimum':0},'retransmissions':{'type':'integer','minimum':0}}},"
    "'AnyValue':{},"
    "'ValueType':{'enum':['string','integer','unsigned','float','boolean','opaque','time','objlnk','corelnk','raw']},"
    "'Data':{'type':'object','description':'A resource, an instance (resources), an object (instances), or what a "
    "composite operation told (resources, by their paths). Opaque is Base64, time seconds since 1970, an object link "
    "3:0; what has no such form is value_b64.','properties':{"
    "  'path':{'type':'string','examples':['/3/0/9']},"
    "  'name':{'type':'string'},"
    "  'type':{'$ref':'#/components/schemas/ValueType'},"
    "  'value':{'type':['string','number','boolean','null'],'description':'Integers have all of their 64 bits.'},"
    "  'value_b64':{'type':'string'},"
    "  'iso':{'$ref':'#/components/schemas/Time'},"
    "  'ts':{'$ref':'#/components/schemas/Time'},"
    "  'history':{'type':'array','items':{'$ref':'#/components/schemas/Data'}},"
    "  'values':{'type':'object','additionalProperties':{'type':['string','number','boolean','null','object']}},"
    "  'resources':{'type':'object','additionalProperties':{'$ref':'#/components/schemas/Data'}},"
    "  'instances':{'type':'object','additionalProperties':{'$ref':'#/components/schemas/Data'}},"
    "  'oddity':{'type':'string','description':'What was tolerated in the answer.'},"
    "  'error':{'type':'string','description':'How values differ from their definitions.'},"
    "  'content_format':{'type':'integer'},'payload_b64':{'type':'string'}}},"
    "'NewInstance':{'type':'object','properties':{"
    "  'instance':{'type':'integer','minimum':0,'maximum':65534,'description':'Left out, the device chooses.'},"
    "  'resources':{'type':'object'},'instances':{'type':'object'}}},"
    "'Execute':{'type':'object','additionalProperties':false,'properties':{"
    "  'args':{'type':'string','examples':['0,1']}}},"
    "'Attributes':{'type':'object','additionalProperties':false,'description':'null unsets an attribute.',"
    "  'properties':{"
    "  'pmin':{'type':['integer','null']},'pmax':{'type':['integer','null']},"
    "  'epmin':{'type':['integer','null']},'epmax':{'type':['integer','null']},'hqmax':{'type':['integer','null']},"
    "  'gt':{'type':['number','string','null']},'lt':{'type':['number','string','null']},"
    "  'st':{'type':['number','string','null']},"
    "  'edge':{'type':['integer','boolean','null']},'con':{'type':['integer','boolean','null']}}},"
    "'Paths':{'type':'object','additionalProperties':false,'required':['paths'],'properties':{"
    "  'paths':{'type':'array','minItems':1,'maxItems':1000,'items':{'type':'string'}}}},"
    "'ObservedPaths':{'type':'object','additionalProperties':false,'required':['paths'],'properties':{"
    "  'paths':{'type':'array','minItems':1,'maxItems':1000,'items':{'type':'string'}},"
    "  'attributes':{'$ref':'#/components/schemas/Attributes'}}},"
    "'Observation':{'type':'object',"
    "  'required':['id','paths','composite','state','auto','token','accept','query','started_at','last_at',"
    "    'notifications','last'],'properties':{"
    "  'id':{'type':'integer','minimum':1},"
    "  'paths':{'type':'array','minItems':1,'items':{'type':'string'}},"
    "  'composite':{'type':'boolean'},"
    "  'state':{'enum':['starting','active','waiting'],'description':'waiting: begun again when the device is heard'},"
    "  'auto':{'type':'boolean','description':'The device makes it by itself.'},"
    "  'token':{'type':['string','null'],'pattern':'^[0-9a-f]*$'},"
    "  'accept':{'type':['integer','null']},"
    "  'query':{'type':['string','null'],'examples':['pmin=5&pmax=60']},"
    "  'started_at':{'$ref':'#/components/schemas/Time'},"
    "  'last_at':{'oneOf':[{'$ref':'#/components/schemas/Time'},{'type':'null'}]},"
    "  'notifications':{'type':'integer','minimum':0},"
    "  'last':{'oneOf':[{'$ref':'#/components/schemas/Data'},{'type':'null'}],"
    "    'description':'The newest values, unless they came in more than 4096 bytes.'}}},"
    "'ObservationPage':{'type':'object','required':['items','next'],'properties':{"
    "  'items':{'type':'array','items':{'$ref':'#/components/schemas/Observation'}},"
    "  'next':{'type':['string','null']}}},"
    "'CompositeWrite':{'type':'object','description':'Values by their paths, as in Data or bare; null removes.',"
    "  'examples':[{'/3/0/14':'+01:00'}]},"
    "'Links':{'type':'object','required':['path','links'],'properties':{'path':{'type':'string'},"
    "  'links':{'type':'array','items':{'type':'object','required':['path','attributes'],'properties':{"
    "    'path':{'type':'string'},"
    "    'attributes':{'type':'object','additionalProperties':{'type':['string','boolean']}}}}}}},"
    "'CoapRequest':{'type':'object','additionalProperties':false,'required':['method'],'properties':{"
    "  'method':{'type':'string','examples':['GET','iPATCH','0.01']},"
    "  'path':{'type':'string','examples':['/3/0']},"
    "  'query':{'type':['string','array'],'examples':['pmin=1&pmax=60',['a&b']]},"
    "  'accept':{'type':['integer','string','null'],'examples':[11542,'senml-cbor']},"
    "  'content_format':{'type':['integer','string','null']},"
    "  'payload':{'type':'string'},'payload_b64':{'type':'string'},"
    "  'confirmable':{'type':'boolean','default':true},"
    "  'options':{'type':'array','items':{'type':'object','required':['number'],'additionalProperties':false,"
    "    'properties':{'number':{'type':'integer'},'value_b64':{'type':'string'}}}}}},"
    "'UpdateTrigger':{'type':'object','additionalProperties':false,'properties':{"
    "  'binding':{'enum':['U','M','H','T','S','N'],'description':'The transport to update over (LwM2M 1.2).'}}},"
    "'DisableTrigger':{'type':'object','additionalProperties':false,'properties':{"
    "  'timeout':{'$ref':'#/components/schemas/DurationOrSeconds'}}},"
    "'MuteSend':{'type':'object','additionalProperties':false,'required':['muted'],'properties':{"
    "  'muted':{'type':'boolean'}}},"
    "'CoapAnswer':{'type':'object',"
    "  'required':['code','name','options','content_format','payload_b64','rtt_ms','retransmissions'],'properties':{"
    "  'code':{'type':'string','pattern':'^[2-5][.][0-9]{2}$'},'name':{'type':'string'},"
    "  'options':{'type':'array','items':{'type':'object','required':['number','name','value_b64'],'properties':{"
    "    'number':{'type':'integer'},'name':{'type':'string'},'value_b64':{'type':'string'}}}},"
    "  'content_format':{'type':['integer','null']},'payload_b64':{'type':'string'},"
    "  'rtt_ms':{'type':'integer'},'retransmissions':{'type':'integer'}}},"
    "'EventRange':{'type':'object','required':['last','oldest'],'properties':{"
    "  'last':{'type':'integer','minimum':0},'oldest':{'type':'integer','minimum':1}}},"
    "'EventList':{'type':'object','required':['items','last','oldest'],'properties':{"
    "  'items':{'type':'array','items':{'$ref':'#/components/schemas/Event'}},"
    "  'last':{'type':'integer','minimum':0},'oldest':{'type':'integer','minimum':1}}},"
    "'Match':{'type':'object','description':'Members of an event: a value that each must equal, or operators. A name "
    "with a slash in front is a JSON Pointer.',"
    "  'additionalProperties':{'oneOf':[{'type':['string','number','boolean','null','array']},"
    "    {'type':'object','additionalProperties':false,'properties':{"
    "      'eq':{},'ne':{},'gt':{'type':['number','string']},'gte':{'type':['number','string']},"
    "      'lt':{'type':['number','string']},'lte':{'type':['number','string']},'in':{'type':'array'},"
    "      'regex':{'type':'string','maxLength':256}}}]}},"
    "'Condition':{'oneOf':[{'$ref':'#/components/schemas/EventType'},{'type':'object','additionalProperties':false,"
    "  'properties':{"
    "    'type':{'$ref':'#/components/schemas/EventType'},"
    "    'types':{'type':'array','minItems':1,'items':{'$ref':'#/components/schemas/EventType'}},"
    "    'endpoint':{'type':'string'},"
    "    'match':{'$ref':'#/components/schemas/Match'}}}]},"
    "'Wait':{'type':'object','additionalProperties':false,'properties':{"
    "  'after':{'type':'integer','minimum':0,'description':'Events after this one count, else those from now on.'},"
    "  'type':{'$ref':'#/components/schemas/EventType'},"
    "  'types':{'type':'array','minItems':1,'items':{'$ref':'#/components/schemas/EventType'}},"
    "  'endpoint':{'type':'string'},"
    "  'match':{'$ref':'#/components/schemas/Match'},"
    "  'count':{'type':'integer','minimum':1,'maximum':1000},"
    "  'absent':{'type':'boolean','description':'Succeed when no such event comes within timeout of protocol time.'},"
    "  'timeout':{'$ref':'#/components/schemas/DurationOrSeconds'},"
    "  'all':{'type':'array','minItems':1,'maxItems':32,'items':{'$ref':'#/components/schemas/Condition'}},"
    "  'sequence':{'type':'array','minItems':1,'maxItems':32,'items':{'$ref':'#/components/schemas/Condition'}}}},"
    "'WaitOutcome':{'oneOf':[{'$ref':'#/components/schemas/Event'},"
    "  {'type':'object','required':['events'],'properties':{"
    "    'events':{'type':'array','items':{'$ref':'#/components/schemas/Event'}}}},"
    "  {'type':'object','required':['absent'],'properties':{'absent':{'const':true}}}]},"
    "'ScenarioStep':{'type':'object','additionalProperties':false,'description':'One of request, wait, clock, and in "
    "berth-server run device; docs/scenarios.md tells all.','properties':{"
    "  'name':{'type':'string'},"
    "  'mark':{'type':'boolean','description':'Later waits look at events from here on only.'},"
    "  'request':{'type':'object','additionalProperties':false,'required':['path'],'properties':{"
    "    'method':{'enum':['GET','PUT','POST','PATCH','DELETE']},"
    "    'path':{'type':'string','examples':['/v1/devices/${endpoint}']},"
    "    'query':{'type':'object'},'headers':{'type':'object'},'body':{},'text':{'type':'string'}}},"
    "  'wait':{'type':'object','description':'A Wait; without after from the cursor on.'},"
    "  'clock':{'oneOf':[{'type':'string'},{'type':'number'}],'examples':['1d']},"
    "  'device':{'type':'object'},"
    "  'expect':{'type':'object','additionalProperties':false,'properties':{"
    "    'status':{},'headers':{'type':'object'},'body':{'type':'object'},'text':{}}},"
    "  'save':{'type':'object','examples':[{'id':'/id','where':{'header':'Location'}}]},"
    "  'timeout':{'$ref':'#/components/schemas/DurationOrSeconds'}}},"
    "'Scenario':{'type':'object','additionalProperties':false,'required':['steps'],'properties':{"
    "  'name':{'type':'string'},'description':{'type':'string'},"
    "  'server':{'type':'array','items':{'type':'string'},'description':'Options, of berth-server run only.'},"
    "  'variables':{'type':'object'},"
    "  'timeout':{'$ref':'#/components/schemas/DurationOrSeconds'},"
    "  'steps':{'type':'array','minItems':1,'maxItems':1000,'items':{'$ref':'#/components/schemas/ScenarioStep'}}}},"
    "'ScenarioReport':{'type':'object','required':['id','name','state','started_at','elapsed_ms','step_count'],"
    "  'properties':{"
    "  'id':{'type':'integer','minimum':1},'name':{'type':'string'},"
    "  'state':{'enum':['running','passed','failed','cancelled']},"
    "  'started_at':{'$ref':'#/components/schemas/Time'},"
    "  'elapsed_ms':{'type':'integer','minimum':0},'step_count':{'type':'integer','minimum':1},"
    "  'steps':{'type':'array','description':'Those that are over.','items':{'type':'object',"
    "    'required':['step','kind','state','elapsed_ms','detail'],'properties':{"
    "    'step':{'type':'integer','minimum':0},'name':{'type':'string'},"
    "    'kind':{'enum':['request','wait','clock','start','command','output','stop']},"
    "    'state':{'enum':['passed','failed']},'elapsed_ms':{'type':'integer','minimum':0},"
    "    'detail':{'type':'string'},"
    "    'differs':{'type':'array','items':{'type':'object','required':['member','expected','actual']}},"
    "    'response':{'type':'object','required':['status','body']}}}}}},"
    "'ScenarioList':{'type':'object','required':['items'],'properties':{"
    "  'items':{'type':'array','items':{'$ref':'#/components/schemas/ScenarioReport'}}}},"
    "'DefinitionSummary':{'type':'object','required':['id','version','name','source'],'properties':{"
    "  'id':{'type':'integer','minimum':0,'maximum':65534},"
    "  'version':{'type':'string','pattern':'^[0-9]{1,3}[.][0-9]{1,3}$'},"
    "  'name':{'type':'string'},"
    "  'source':{'enum':['built-in','file','loaded']}}},"
    "'DefinitionPage':{'type':'object','required':['items','next'],'properties':{"
    "  'items':{'type':'array','items':{'$ref':'#/components/schemas/DefinitionSummary'}},"
    "  'next':{'type':['string','null']}}},"
    "'ResourceDefinition':{'type':'object',"
    "  'required':['id','name','operations','instances','mandatory','type','range','units'],'properties':{"
    "    'id':{'type':'integer','minimum':0,'maximum':65534},"
    "    'name':{'type':'string'},"
    "    'operations':{'enum':['R','W','RW','E','',null],'description':'null: the definition does not tell'},"
    "    'instances':{'enum':['single','multiple']},"
    "    'mandatory':{'type':'boolean'},"
    "    'type':{'enum':['string','integer','unsigned','float','boolean','opaque','time','objlnk','corelnk',null],"
    "      'description':'null: it has no value, or the definition does not tell'},"
    "    'range':{'type':['string','null']},"
    "    'units':{'type':['string','null']}}},"
    "'Definition':{'type':'object',"
    "  'required':['id','version','name','source','urn','lwm2m_version','instances','mandatory','resources'],"
    "  'properties':{"
    "    'id':{'type':'integer','minimum':0,'maximum':65534},"
    "    'version':{'type':'string','pattern':'^[0-9]{1,3}[.][0-9]{1,3}$'},"
    "    'name':{'type':'string'},"
    "    'source':{'enum':['built-in','file','loaded']},"
    "    'urn':{'type':['string','null']},"
    "    'lwm2m_version':{'type':'string'},"
    "    'instances':{'enum':['single','multiple']},"
    "    'mandatory':{'type':'boolean'},"
    "    'resources':{'type':'array','items':{'$ref':'#/components/schemas/ResourceDefinition'}}}},"
    "'Credential':{'type':'object','required':['endpoint','mode','service','source'],'properties':{"
    "  'endpoint':{'type':'string'},"
    "  'mode':{'enum':['psk','x509','oscore','none']},"
    "  'service':{'enum':['management','bootstrap','both']},"
    "  'source':{'enum':['stored','option']},"
    "  'identity':{'type':'string'},'identity_hex':{'type':'string'},'key':{'const':'set'},"
    "  'subject':{'type':['string','null']},'fingerprint_sha256':{'type':['string','null']},"
    "  'sender_id_hex':{'type':'string'},'recipient_id_hex':{'type':'string'},'id_context_hex':{'type':'string'},"
    "  'aead':{'type':'string'},'hkdf':{'type':'string'},"
    "  'master_secret':{'const':'set'},'master_salt':{'enum':['set',null]}}},"
    "'CredentialPage':{'type':'object','required':['items','next'],'properties':{"
    "  'items':{'type':'array','items':{'$ref':'#/components/schemas/Credential'}},"
    "  'next':{'type':['string','null']}}},"
    "'CredentialList':{'type':'object','required':['items'],'properties':{"
    "  'items':{'type':'array','items':{'$ref':'#/components/schemas/Credential'}}}},"
    "'CredentialInput':{'type':'object','required':['mode'],'additionalProperties':false,'properties':{"
    "  'mode':{'enum':['psk','x509','oscore','none']},"
    "  'service':{'enum':['management','bootstrap','both'],'default':'both'},"
    "  'identity':{'type':'string','maxLength':128,'description':'PSK: left out, it is the name of the endpoint.'},"
    "  'identity_hex':{'type':'string','description':'PSK: one that is no text.'},"
    "  'key_hex':{'type':'string','pattern':'^([0-9a-fA-F]{2}){1,64}$','description':'PSK'},"
    "  'subject':{'type':'string','pattern':'^CN=.+$','description':'X.509: the name in the certificate.'},"
    "  'fingerprint_sha256':{'type':'string','pattern':'^[0-9a-fA-F]{64}$','description':'X.509: of the certificate.'},"
    "  'sender_id_hex':{'type':'string','description':'OSCORE, as the server sees it.'},"
    "  'recipient_id_hex':{'type':'string'},'master_secret_hex':{'type':'string'},"
    "  'master_salt_hex':{'type':'string'},'id_context_hex':{'type':'string'},"
    "  'aead':{'enum':['AES-CCM-16-64-128','AES-CCM-16-128-128']},'hkdf':{'const':'SHA-256'}}},"
    "'BootstrapServer':{'type':'object','additionalProperties':false,'properties':{"
    "  'uri':{'type':['string','null'],'maxLength':255,'description':'null: this server. {endpoint}, {account}, {id}: "
    "what the device has.'},"
    "  'bootstrap':{'type':'boolean','default':false,'description':'The account of a bootstrap server.'},"
    "  'short_id':{'type':'integer','minimum':1,'maximum':65534},"
    "  'lifetime_s':{'type':'integer','minimum':0,'maximum':4294967295,'default':86400},"
    "  'binding':{'type':['string','null']},'storing':{'type':'boolean','default':true},"
    "  'security_instance':{'type':['integer','null']},'server_instance':{'type':['integer','null']},"
    "  'oscore_instance':{'type':['integer','null']},"
    "  'security':{'type':'object','properties':{"
    "    'mode':{'enum':['none','psk','x509','rpk','oscore',null],'description':'null: as the device has come.'}}},"
    "  'oscore':{'type':'object'}}},"
    "'BootstrapInput':{'type':'object','additionalProperties':false,'properties':{"
    "  'servers':{'type':'array','maxItems':8,'items':{'$ref':'#/components/schemas/BootstrapServer'}},"
    "  'discover':{'type':['array','null'],'maxItems':8,'items':{'type':'string'}},"
    "  'read':{'type':['array','null'],'maxItems':8,'items':{'type':'string'}},"
    "  'delete':{'type':['array','null'],'maxItems':8,'items':{'type':'string'}},"
    "  'write':{'type':['object','null'],'maxProperties':16},"
    "  'format':{'enum':['tlv','senml-json','senml-cbor','lwm2m-cbor',null]},"
    "  'sequence':{'enum':['standard','pelion','pack',null],'description':'null: as the device has asked.'},"
    "  'on_error':{'type':['object','null'],'additionalProperties':{'enum':['continue','stop','retry']}}}},"
    "'Bootstrap':{'type':'object','required':['endpoint','source','servers'],'properties':{"
    "  'endpoint':{'type':['string','null'],'description':'null: every other one.'},"
    "  'source':{'enum':['stored','built-in']},"
    "  'servers':{'type':'array','items':{'$ref':'#/components/schemas/BootstrapServer'}},"
    "  'discover':{'type':['array','null'],'items':{'type':'string'}},"
    "  'read':{'type':'array','items':{'type':'string'}},"
    "  'delete':{'type':['array','null'],'items':{'type':'string'}},"
    "  'write':{'type':'object'},'format':{'type':['string','null']},'sequence':{'type':['string','null']},"
    "  'on_error':{'type':'object'}}},"
    "'BootstrapPage':{'type':'object','required':['items','next'],'properties':{"
    "  'items':{'type':'array','items':{'$ref':'#/components/schemas/Bootstrap'}},"
    "  'next':{'type':['string','null']}}},"
    "'BootstrapSession':{'type':'object','required':['endpoint','state','steps'],'properties':{"
    "  'endpoint':{'type':'string'},'state':{'enum':['running','finished','failed','superseded']},"
    "  'reason':{'type':['string','null']},'address':{'type':['string','null']},'query':{'type':'string'},"
    "  'sequence':{'enum':['standard','pelion','pack']},'format':{'type':'string'},"
    "  'started_at':{'$ref':'#/components/schemas/Time'},"
    "  'ended_at':{'oneOf':[{'$ref':'#/components/schemas/Time'},{'type':'null'}]},"
    "  'steps':{'type':'array','items':{'type':'object','required':['operation','path','coap_code'],'properties':{"
    "    'operation':{'enum':['discover','read','delete','write','finish']},'path':{'type':'string'},"
    "    'ts':{'$ref':'#/components/schemas/Time'},'coap_code':{'type':['string','null']},"
    "    'detail':{'type':'string'},'diagnostic':{'type':'string'},'rtt_ms':{'type':'integer'},"
    "    'retransmissions':{'type':'integer'},'payload_bytes':{'type':'integer'},'links':{'type':'string'},"
    "    'data':{}}}}}},"
    "'DeveloperInput':{'type':'object','additionalProperties':false,'properties':{"
    "  'endpoint':{'type':'string','maxLength':252,'description':'Left out: a new one.'},"
    "  'account':{'type':'string','maxLength':64,'default':'default'},"
    "  'host':{'type':'string','maxLength':200,'description':'Of this server, in the URI.'}}},"
    "'Developer':{'type':'object','required':['endpoint','account','bootstrap_uri','certificate','private_key','ca',"
    "  'security_c'],'properties':{"
    "  'endpoint':{'type':'string'},'account':{'type':'string'},'bootstrap_uri':{'type':'string'},"
    "  'certificate':{'type':'string'},'private_key':{'type':'string'},'ca':{'type':'string'},"
    "  'security_c':{'type':'string'}}},"
    "'MessageList':{'type':'object','required':['items','last'],'properties':{"
    "  'items':{'type':'array','items':{'$ref':'#/components/schemas/Message'}},"
    "  'last':{'type':'integer','minimum':0}}},"
    "'Message':{'type':'object','required':['id','ts','endpoint','direction','kind','transport','peer','local','bytes']"
    ","
    "  'properties':{"
    "    'id':{'type':'integer','minimum':1},"
    "    'ts':{'$ref':'#/components/schemas/Time'},"
    "    'endpoint':{'type':['string','null']},"
    "    'direction':{'enum':['in','out']},"
    "    'kind':{'$ref':'#/components/schemas/MessageKind'},"
    "    'transport':{'enum':['udp','dtls','tcp','tls']},"
    "    'framing':{'enum':['rfc8323','pelion']},"
    "    'peer':{'type':'string'},'local':{'type':'string'},"
    "    'bytes':{'type':'integer','minimum':0,'description':'On the wire, without the headers of UDP, TCP and IP.'},"
    "    'records':{'type':'array','items':{'$ref':'#/components/schemas/Record'}},"
    "    'coap':{'$ref':'#/components/schemas/CoapMessage'},"
    "    'payload':{'$ref':'#/components/schemas/MessagePayload'},"
    "    'inner':{'type':'object','description':'What OSCORE had inside.','properties':{"
    "      'coap':{'$ref':'#/components/schemas/CoapMessage'},"
    "      'payload':{'$ref':'#/components/schemas/MessagePayload'}}},"
    "    'path':{'type':'string','description':'Of the request, also with its response.'},"
    "    'query':{'type':'string'},"
    "    'answers':{'type':'integer','minimum':1,'description':'The request.'},"
    "    'withheld':{'const':true,'description':'A fault kept its datagram from leaving then.'},"
    "    'error':{'type':'string'},"
    "    'message_hex':{'type':'string'},'wire_hex':{'type':'string'}}},"
    "'Record':{'type':'object','required':['type','version','bytes'],'properties':{"
    "  'type':{'enum':['change_cipher_spec','alert','handshake','application_data','tls12_cid']},"
    "  'version':{'type':'string'},'bytes':{'type':'integer','minimum':0},"
    "  'epoch':{'type':'integer','minimum':0},'sequence':{'type':'integer','minimum':0},"
    "  'cid':{'type':'string','description':'Hexadecimal.'},"
    "  'messages':{'type':'array','items':{'type':'string'},'description':'Of the handshake; encrypted when it is.'},"
    "  'cipher_suites':{'type':'array','items':{'type':'string'},'description':'That a ClientHello offers; those that "
    "Berth has no name for as 0x and their number.'},"
    "  'alert':{'type':'integer'},'fatal':{'type':'boolean'}}},"
    "'CoapMessage':{'type':'object','required':['code','name','token','options'],'properties':{"
    "  'type':{'enum':['CON','NON','ACK','RST']},'mid':{'type':'integer','minimum':0},"
    "  'code':{'type':'string','pattern':'^[0-7][.][0-9]{2}$'},'name':{'type':'string'},'token':{'type':'string'},"
    "  'options':{'type':'array','items':{'type':'object','required':['number','value'],'properties':{"
    "    'number':{'type':'integer','minimum':0},'name':{'type':'string'},"
    "    'value':{'description':'Text, a number, a block, or hexadecimal.'}}}}}},"
    "'MessagePayload':{'type':'object','required':['bytes'],'description':'With data, text or hex.','properties':{"
    "  'bytes':{'type':'integer','minimum':0},'content_format':{'type':'integer'},'format':{'type':'string'},"
    "  'data':{'$ref':'#/components/schemas/Data'},'text':{'type':'string'},'hex':{'type':'string'},"
    "  'error':{'type':'string'}}},"
    "'FirmwareFaults':{'type':'object','additionalProperties':false,'properties':{"
    "  'truncate_to':{'type':['integer','null'],'minimum':0,'description':'Bytes: the image seems this short.'},"
    "  'silent_after':{'type':['integer','null'],'minimum':0,'description':'Bytes: what lies there is not answered.'},"
    "  'unavailable':{'type':'integer','minimum':0,'maximum':1000,'description':'So many requests get 5.03.'},"
    "  'retry_after_s':{'type':'integer','minimum':0,'maximum':86400,'description':'Max-Age of these.'},"
    "  'changing_etag':{'type':'boolean','description':'Each block has another ETag.'}}},"
    "'FirmwareImage':{'type':'object',"
    "  'required':['name','size','sha256','created_at','url','coap_path','updates','faults'],'properties':{"
    "    'name':{'type':'string'},'size':{'type':'integer','minimum':0},"
    "    'sha256':{'type':'string','pattern':'^[0-9a-f]{64}$'},"
    "    'created_at':{'$ref':'#/components/schemas/Time'},"
    "    'url':{'type':['string','null']},'coap_path':{'type':'string'},"
    "    'updates':{'type':'integer','minimum':0,'description':'Under way with it.'},"
    "    'faults':{'$ref':'#/components/schemas/FirmwareFaults'}}},"
    "'FirmwareList':{'type':'object','required':['items'],'properties':{"
    "  'items':{'type':'array','items':{'$ref':'#/components/schemas/FirmwareImage'}}}},"
    "'FirmwareOrder':{'type':'object','additionalProperties':false,'properties':{"
    "  'image':{'type':'string','description':'Name of an image.'},"
    "  'uri':{'type':'string','maxLength':255,'description':'What the device is told to fetch instead.'},"
    "  'method':{'enum':['auto','push','pull'],'default':'auto'},"
    "  'protocol':{'enum':['auto','coap','coaps','coap+tcp','coaps+tcp','http','https'],'default':'auto'},"
    "  'update':{'type':'boolean','default':true,'description':'Install what was downloaded.'},"
    "  'object':{'enum':[5,9],'default':5,'description':'9: Software Management.'},"
    "  'instance':{'type':'integer','minimum':0,'maximum':65534,'default':0,'description':'Of object 9.'},"
    "  'activate':{'type':'boolean','default':false,'description':'Of object 9: activate what was installed.'},"
    "  'timeout':{'$ref':'#/components/schemas/DurationOrSeconds'}}},"
    "'FirmwareUpdate':{'type':'object','required':['endpoint','state','over','image','uri','method','protocol',"
    "  "
    "'object','instance','update','activate','device_state','result','result_text','detail','coap_code','bytes','size',"
    "'created_at','deadline',"
    "  'ended_at'],'properties':{"
    "    'endpoint':{'type':'string'},"
    "    'state':{'enum':['preparing','delivering','downloading','downloaded','installing','updating','cancelling',"
    "      'succeeded','failed','cancelled']},"
    "    'over':{'type':'boolean'},"
    "    'image':{'type':['string','null']},'uri':{'type':['string','null']},"
    "    'method':{'enum':['push','pull',null]},"
    "    'protocol':{'enum':['coap','coaps','coap+tcp','coaps+tcp','http','https',null]},"
    "    'object':{'enum':[5,9]},'instance':{'type':'integer','minimum':0},"
    "    'update':{'type':'boolean'},'activate':{'type':'boolean'},"
    "    'device_state':{'type':['integer','null'],'description':'5/0/3, or 9/x/7'},"
    "    'result':{'type':['integer','null'],'description':'5/0/5, or 9/x/9'},"
    "    'result_text':{'type':['string','null']},"
    "    'detail':{'type':['string','null'],'description':'Why it has failed.'},"
    "    'coap_code':{'type':['string','null'],'description':'With which the device has refused.'},"
    "    'bytes':{'type':'integer','minimum':0},'size':{'type':['integer','null']},"
    "    'created_at':{'$ref':'#/components/schemas/Time'},'deadline':{'$ref':'#/components/schemas/Time'},"
    "    'ended_at':{'oneOf':[{'$ref':'#/components/schemas/Time'},{'type':'null'}]}}},"
    "'Clock':{'type':'object','required':['now_s','now','leapt_s'],'properties':{"
    "  'now_s':{'type':'number'},'now':{'$ref':'#/components/schemas/Time'},'leapt_s':{'type':'number'}}},"
    "'Advance':{'type':'object','additionalProperties':false,'required':['advance'],'properties':{"
    "  'advance':{'$ref':'#/components/schemas/DurationOrSeconds'}}},"
    "'Leap':{'type':'object','required':['now_s','advanced_s','fired'],'properties':{"
    "  'now_s':{'type':'number'},'advanced_s':{'type':'number'},'fired':{'type':'integer','minimum':0}}},"
    "'FaultOrder':{'type':'object','additionalProperties':false,'description':'One member says what is done, the "
    "others "
    "when and how often.','properties':{" FAULT_MEMBERS "}},"
    "'Fault':{'type':'object','required':['id','endpoint','times','ordered_at','active','seen','fired'],"
    "  'properties':{'id':{'type':'integer'},'endpoint':{'type':['string','null'],'description':'null: every "
    "device'}," FAULT_MEMBERS ","
    "  'ordered_at':{'$ref':'#/components/schemas/Time'},'active':{'type':'boolean'},"
    "  'seen':{'type':'integer','minimum':0},'fired':{'type':'integer','minimum':0}}},"
    "'FaultList':{'type':'object','required':['items'],'properties':{"
    "  'items':{'type':'array','items':{'$ref':'#/components/schemas/Fault'}}}},"
    "'PelionDocument':{'type':'object'},"
    "'PelionList':{'type':'array','items':{'type':'object'}},"
    "'PelionRequest':{'type':'object','required':['method','uri'],'properties':{"
    "  'method':{'enum':['GET','PUT','POST','DELETE']},'uri':{'type':'string'},'accept':{'type':'string'},"
    "  'content-type':{'type':'string'},'payload-b64':{'type':'string'}}},"
    "'PelionSharedKey':{'type':'object','required':['endpoint_name','secret_hex'],'properties':{"
    "  'endpoint_name':{'type':'string','minLength':16,'maxLength':64},"
    "  'secret_hex':{'type':'string','pattern':'^(0x)?([0-9A-Fa-f]{2}){16,32}$'}}},"
    "'LeshanDocument':{'type':'object'},"
    "'LeshanList':{'type':'array','items':{'type':'object'}},"
    "'LeshanNode':{'type':'object','required':['kind'],'properties':{"
    "  'kind':{'enum':['singleResource','multiResource','resourceInstance','instance','obj','root']},"
    "  'id':{'type':'integer','minimum':0,'maximum':65534},"
    "  'type':{'enum':['STRING','INTEGER','UNSIGNED_INTEGER','FLOAT','BOOLEAN','OPAQUE','TIME','OBJLNK','CORELINK']},"
    "  'value':{'description':'numbers as strings, Opaque in hexadecimal, Time in milliseconds'},"
    "  'values':{'type':'object'},'resources':{'type':'array','items':{'$ref':'#/components/schemas/LeshanNode'}},"
    "  'instances':{'type':'array','items':{'$ref':'#/components/schemas/LeshanNode'}},"
    "  'objects':{'type':'array','items':{'$ref':'#/components/schemas/LeshanNode'}}}},"
    "'LeshanNodes':{'type':'object','additionalProperties':{'$ref':'#/components/schemas/LeshanNode'}},"
    "'LeshanAnswer':{'type':'object','properties':{'status':{'type':'string'},'valid':{'type':'boolean'},"
    "  'success':{'type':'boolean'},'failure':{'type':'boolean'},'errormessage':{'type':'string'},"
    "  'objectLinks':{'type':'array'},'location':{'type':'string'},'content':{'type':'object'},"
    "  'ep':{'type':'string'},'path':{'type':'string'},'requestId':{'type':'string'},'delayed':{'type':'boolean'}}},"
    "'LeshanBootstrap':{'type':'object','properties':{'autoIdForSecurityObject':{'type':'boolean'},"
    "  'toDelete':{'type':'array','items':{'type':'string'}},'servers':{'type':'object'},"
    "  'security':{'type':'object'},'acls':{'type':'object'},'oscore':{'type':'object'}}},"
    "'LeshanSecurity':{'type':'object','required':['endpoint'],'properties':{'endpoint':{'type':'string'},"
    "  'tls':{'type':'object','required':['mode'],'properties':{'mode':{'enum':['psk','x509']},"
    "    'details':{'type':'object'}}},'oscore':{'type':'object'}}}"
    "}";

static json_t *load(const char *text, size_t len) {
    return json_loadb(text, len, JSON_DECODE_ANY, NULL);
}

static json_t *schemas_json(void) {
    char text[sizeof schemas];
    for (size_t i = 0; i < sizeof schemas; i++)
        text[i] = schemas[i] == '\'' ? '"' : schemas[i];
    json_t *all = load(text, sizeof text - 1);
    json_t *names = json_array();
    for (enum event_type type = 0; type < EVENT_TYPE_COUNT; type++)
        json_array_append_new(names, json_string(event_type_name(type)));
    json_object_set_new(all, "EventType", json_pack("{ssso}", "type", "string", "enum", names));
    names = json_array();
    for (enum entry_kind kind = 0; kind < ENTRY_KINDS; kind++)
        json_array_append_new(names, json_string(entry_kind_name(kind)));
    json_object_set_new(all, "MessageKind", json_pack("{ssso}", "type", "string", "enum", names));
    return all;
}

static json_t *reference(const char *schema) {
    return json_pack("{ss+}", "$ref", "#/components/schemas/", schema);
}

/* ---- an operation ---- */

static void add_path_parameters(json_t *parameters, const char *path) {
    for (const char *at = strchr(path, '{'); at != NULL; at = strchr(at + 1, '{')) {
        size_t len = strcspn(at + 1, "}");
        json_array_append_new(parameters,
                              json_pack("{ss#sssbs{ss}ss}", "name", at + 1, (int)len, "in", "path", "required", 1,
                                        "schema", "type", "string", "description", "One percent-encoded segment."));
    }
}

static json_t *parameters_json(const struct route *route) {
    json_t *parameters = json_array();
    add_path_parameters(parameters, route->path);
    for (const struct route_parameter *p = route->parameters; p != NULL && p->name != NULL; p++) {
        json_t *schema = load(p->schema, strlen(p->schema));
        bool list =
            strcmp(json_is_string(json_object_get(schema, "type")) ? json_string_value(json_object_get(schema, "type"))
                                                                   : "",
                   "array") == 0;
        json_t *parameter =
            json_pack("{sssssoss}", "name", p->name, "in", p->in, "schema", schema, "description", p->description);
        if (list)
            json_object_set_new(parameter, "explode", json_false()); /* joined by commas */
        json_array_append_new(parameters, parameter);
    }
    return parameters;
}

static json_t *status_member(json_t *responses, unsigned status, const char *description) {
    char key[16];
    snprintf(key, sizeof key, "%u", status);
    json_t *response = json_object_get(responses, key);
    if (response == NULL) {
        response = json_pack("{ss}", "description", description);
        json_object_set_new(responses, key, response);
    }
    return response;
}

static void add_content(json_t *response, const char *type, json_t *schema) {
    json_t *content = json_object_get(response, "content");
    if (content == NULL) {
        content = json_object();
        json_object_set_new(response, "content", content);
    }
    json_object_set_new(content, type, json_pack("{so}", "schema", schema));
}

static void add_problem(json_t *responses, enum problem_kind kind) {
    json_t *response = status_member(responses, problem_status(kind), problem_slug(kind));
    if (json_object_get(response, "content") == NULL)
        add_content(response, "application/problem+json", reference("Problem"));
}

/* Every status that the error of a device may be translated to. */
static void add_device_errors(json_t *responses) {
    for (const unsigned *status = device_problem_statuses; *status != 0; status++) {
        json_t *response = status_member(responses, *status, problem_slug(PROBLEM_DEVICE_ERROR));
        if (json_object_get(response, "content") == NULL)
            add_content(response, "application/problem+json", reference("Problem"));
    }
}

static bool has_body(const struct route *route) {
    return route->body != NULL || route->bodies != NULL;
}

static json_t *responses_json(const struct route *route) {
    json_t *responses = json_object();
    for (const struct route_answer *a = route->answers; a->status != 0; a++) {
        json_t *response = status_member(responses, a->status, a->description);
        if (a->content_type != NULL)
            add_content(response, a->content_type,
                        a->schema == NULL ? json_pack("{ss}", "type", "string") : reference(a->schema));
    }
    add_problem(responses, PROBLEM_BAD_REQUEST);
    for (const enum problem_kind *kind = route->problems; kind != NULL && *kind != PROBLEM_KIND_COUNT; kind++) {
        if (*kind == PROBLEM_DEVICE_ERROR)
            add_device_errors(responses);
        add_problem(responses, *kind);
    }
    if (!route->open)
        add_problem(responses, PROBLEM_UNAUTHORIZED);
    if (has_body(route))
        add_problem(responses, PROBLEM_TOO_LARGE);
    return responses;
}

static json_t *body_json(const struct route *route) {
    json_t *content = json_object();
    if (route->body != NULL)
        json_object_set_new(content, "application/json", json_pack("{so}", "schema", reference(route->body)));
    for (const struct route_body *body = route->bodies; body != NULL && body->content_type != NULL; body++)
        json_object_set_new(content, body->content_type,
                            body->schema == NULL ? json_object()
                                                 : json_pack("{so}", "schema", reference(body->schema)));
    return json_pack("{sbso}", "required", !route->body_is_optional, "content", content);
}

static json_t *operation_json(const struct route *route) {
    json_t *operation = json_pack("{sssssoso}", "operationId", route->operation, "summary", route->summary,
                                  "parameters", parameters_json(route), "responses", responses_json(route));
    if (has_body(route))
        json_object_set_new(operation, "requestBody", body_json(route));
    if (route->open)
        json_object_set_new(operation, "security", json_array());
    return operation;
}

static void add_operation(json_t *paths, const struct route *route, const char *tag) {
    char method[16] = {0};
    for (size_t i = 0; i < sizeof method - 1 && route->method[i] != '\0'; i++)
        method[i] = (char)(route->method[i] | 0x20);
    json_t *item = json_object_get(paths, route->path);
    if (item == NULL) {
        item = json_object();
        json_object_set_new(paths, route->path, item);
    }
    json_t *operation = operation_json(route);
    if (tag != NULL)
        json_object_set_new(operation, "tags", json_pack("[s]", tag));
    json_object_set_new(item, method, operation);
}

/* ---- the document ---- */

char *openapi_write(const struct route_table *const *tables, size_t count) {
    json_t *paths = json_object();
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < tables[i]->count; k++)
            add_operation(paths, &tables[i]->routes[k], tables[i]->tag);
    }
    json_t *document =
        json_pack("{sss{ssssss}sos{sos{s{ssssss}}}s[{s[]}{}]}", "openapi", "3.1.0", "info", "title", "Berth", "version",
                  BERTH_VERSION, "description", "An LwM2M server. Errors are RFC 9457 problem documents.", "paths",
                  paths, "components", "schemas", schemas_json(), "securitySchemes", "apiKey", "type", "http", "scheme",
                  "bearer", "description", "Only where the server was started with --api-key.", "security", "apiKey");
    char *text = document == NULL ? NULL : json_dumps(document, JSON_COMPACT);
    json_decref(document);
    return text;
}

void openapi_get(const struct call *call) {
    const char *document = web_openapi(call->web);
    if (document == NULL)
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
    else
        http_respond(
            call->request,
            &(struct http_response){.status = 200, .content_type = "application/json", .body = slice_str(document)});
}
